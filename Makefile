# Martlet: one verb per job. `make` alone lists them.
.PHONY: help setup test format lint
.DEFAULT_GOAL := help

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: ## install what building and testing need (idempotent)
	@scripts/setup

test: setup ## run every test, and close with the counts
	@scripts/test

format: ## rewrite the sources in the project's style
	swift format --in-place --parallel --recursive Package.swift Sources Tests

lint: ## fail where the style is not kept
	swift format lint --strict --parallel --recursive Package.swift Sources Tests
