"""What operators ask for over HTTP, by a program or on the page.

asks    one value for each act, as a request's body says it
ledger  a job that is named, and its runs in pages
desks   the stores that acts are done on, each on threads that nothing else waits for
"""
