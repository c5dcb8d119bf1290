"""Say in sentences what happened, and what is wrong."""
