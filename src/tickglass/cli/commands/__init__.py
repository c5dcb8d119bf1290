"""The commands of `tickglass`, a module for each; `tickglass.cli` lists them."""
