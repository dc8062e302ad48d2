"""For tests, ours and other projects': a fake of every port, and the suites that every implementation passes.

`lima.testing.fakes` hold state and behave; `lima.testing.contracts` are pytest classes: subclass one, give it the
subject as a fixture, and it states the rules of the port.
"""
