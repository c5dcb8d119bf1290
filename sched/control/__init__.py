"""What operators ask of a fleet, what of it stands, and who asked for it.

orders      one thing that was asked for and still stands: a pause, a skip, a run, a stop, a drain
order_book  all that stands in one store, as instances obey it
acts        from what stands to what stands next, or a refusal; pure
audit       what is kept of each act
foresight   how many due instants an act is about
operator    does an act on a store: reads, decides, writes, and again if another operator was faster
"""
