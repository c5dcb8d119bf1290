"""Know which instances are alive: presence leases of labels, and the head start that they give."""
