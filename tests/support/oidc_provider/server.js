// A certified OpenID Connect provider for the tests: `node server.js SETTINGS.json`.
//
// Settings: issuer, host, port, clients, accounts_file. Whoever is in the accounts file can log in with any
// password, as long as the file says so: it is read anew each time, so that a test can change somebody's groups,
// or remove them, while the provider runs.
import { readFileSync } from 'node:fs';
import { Provider } from 'oidc-provider';

const settings = JSON.parse(readFileSync(process.argv[2], 'utf8'));

function account(sub) {
  const claims = JSON.parse(readFileSync(settings.accounts_file, 'utf8'))[sub];
  return claims && { accountId: sub, claims: () => ({ sub, ...claims }) };
}

const provider = new Provider(settings.issuer, {
  clients: settings.clients,
  cookies: { keys: ['only for tests'] },
  findAccount: (context, sub) => account(sub),
  claims: {
    openid: ['sub'],
    email: ['email', 'email_verified'],
    profile: ['name', 'preferred_username', 'picture', 'groups', 'realm_access'],
  },
  scopes: ['openid', 'offline_access', 'profile', 'email'],
  features: { devInteractions: { enabled: true }, rpInitiatedLogout: { enabled: true } },
  issueRefreshToken: (context, client, code) => code.scopes.has('offline_access'),
  rotateRefreshToken: true,
});
provider.on('server_error', (context, error) => console.error(error));
for (const name of ['grant.error', 'authorization.error', 'userinfo.error']) {
  provider.on(name, (context, error) => console.error(name, error.error, error.error_detail || ''));
}
provider.listen(settings.port, settings.host, () => console.log('ready'));
