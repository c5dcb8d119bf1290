"""The part of the page that acts: a form for each act, which says what will happen, and the log of what was done.

consequences  what an act will do to which instants, runs and instances
form          what a form shows and asks for
routes        from a link to a form, from a form to an act, and to the log
"""
