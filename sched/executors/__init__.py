"""The technologies behind ports/executor: the code of jobs runs on threads, and on one event loop."""
