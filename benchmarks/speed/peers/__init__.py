"""What we are measured against: other people's graders, environments and trainers, each run in a process of its own."""
