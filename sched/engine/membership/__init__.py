"""Know who else is there: presence leases of labels, and the head start that they give."""
