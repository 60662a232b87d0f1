"""The ground every server stands on: accounts, so far."""
from role import Change, Drift, Role

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHIcOO/tZEqC7TpxSjuL+YaXmAiMUK4DYFyCzeaarJgU anna"
OTHER = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIO0bHGBQJ8Nq3pO8AdVQv1VhBqjJBBkUfCFoIYDzCjYh ben"


def deployer(**more) -> dict:
    return {"base_users": [{"name": "deployer", "comment": "Deployments", "sudo": True, "keys": [KEY], **more}]}


class Base(Role):
    name = "base"
    variables = deployer()
    changes = [
        Change("a second key", deployer(keys=[KEY, OTHER]), {"base : Install their keys"}),
    ]
    drifts = [
        Drift("a stray key", f"echo '{OTHER}' >>/home/deployer/.ssh/authorized_keys", {"base : Install their keys"}),
    ]
