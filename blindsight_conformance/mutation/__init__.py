"""Mutation testing of both verifiers (`make mutants`) shows checks without a case. Results are in docs/conformance.md.

mutmut (Python) and Stryker's instrumenter (TypeScript) make the mutants. Short loops of our own run them, because those
tools start a test runner for each mutant, which takes seconds, where a case takes milliseconds.
"""
