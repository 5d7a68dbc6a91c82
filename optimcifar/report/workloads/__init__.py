"""What a comparison over several workloads shows."""
