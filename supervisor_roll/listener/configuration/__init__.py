"""supervisord's configuration files, as far as a rollout needs them."""
