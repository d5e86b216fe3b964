"""Shared by every HTTP server of the appliance: accepting, rate limits, protocols."""
