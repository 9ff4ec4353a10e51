"""A module of the application, named like one of the runner."""

WHOSE = "the application's"
