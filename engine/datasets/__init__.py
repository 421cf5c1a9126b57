"""Datasets: folders of labeled images; layout detection, registration, sampling, reading."""
