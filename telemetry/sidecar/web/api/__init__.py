"""The HTTP API for programs, under /api/v1: what operators can do and see, in JSON.

answers    what is answered, one type for each
endpoints  every route: what it is asked with, what it answers, how
openapi    the same routes as an OpenAPI document
routes     from a request to an endpoint, and from what goes wrong to a problem
"""
