"""How it is measured: which cells, in which order, what they show, and the page that says so."""
