"""The mixed load: connectors and people who chat, who note what they were told."""
