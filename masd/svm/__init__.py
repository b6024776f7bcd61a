"""Kernel SVM back end: inputs, fitting, calibration, the stored detector, selective prediction."""
