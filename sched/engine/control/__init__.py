"""Obey what operators have asked of the fleet.

    order_watch  reads what stands from the store, and reports each act
    manual_runs  runs jobs that were asked for, once each
    cancels      asks runs to stop

Which due instants are declined, and whether this instance is drained, is in `standing_orders` beside this room:
planning asks it at each instant.
"""
