"""The scheduling core: when things are due, who may run them, and what became of them."""
