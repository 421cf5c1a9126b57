"""What tests share: tiny networks, synthetic rows, servers, oracles' seeds."""
