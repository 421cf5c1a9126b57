"""ONNX graphs: reading, views, MAC counting, and conversion of users' files to our form."""
