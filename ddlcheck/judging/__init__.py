"""What judges think with: pure functions that read evidence, compare nodes and find the odd one out."""
