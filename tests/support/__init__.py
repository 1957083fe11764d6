"""What tests of several folders use: parts of a machine, certificates, processes. Values are in tests/samples."""
