"""Metrics, calibration, the report and the model card."""
