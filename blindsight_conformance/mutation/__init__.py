"""Mutation testing of both verifiers: is there a case for every check? `make mutants`; results in docs/conformance.md.

The mutants are made by mutmut (Python) and by Stryker's instrumenter (TypeScript). They are run by short loops of our
own, since the tools' own start a test runner for each mutant: seconds each, where a case takes milliseconds.
"""
