"""What the user wants: options, environment, project and user files, and the proposals that the wizard makes."""
