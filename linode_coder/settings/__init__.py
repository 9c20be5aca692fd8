"""What the user wants: options, environment, project and user files."""
