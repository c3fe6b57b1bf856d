"""Login through OpenID Connect: what is said to identity providers, and who they say somebody is.

Here: the protocol, claims, filters, logins under way. Not here: users and nodes (`services.identities`),
pages (`web.oidc_pages`).
"""
