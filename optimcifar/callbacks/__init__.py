"""Lightning callbacks: averaging, divergence, cost, summaries, console output."""
