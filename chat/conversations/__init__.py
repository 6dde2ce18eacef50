"""The conversation's document as the contract has it. Nothing here imports Django."""
