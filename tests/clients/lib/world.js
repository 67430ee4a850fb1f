// The controls of the Salesforce world (tests/world), for a test that is not written in Rust.

export class World {
  constructor(origin) {
    this.origin = origin;
  }

  /** An admin of the org (by its My Domain) installs the app (by its consumer key). */
  install(org, app) {
    return this.#tell('POST', 'install', { org, app });
  }

  /** An admin of the org sets the policies of the installed app. */
  setPolicies(org, app, policies) {
    return this.#tell('POST', 'policies', { org, app, ...policies });
  }

  /** A user of the org revokes everything that they granted. */
  revokeGrants(org, user) {
    return this.#tell('POST', 'revoke-grants', { org, user });
  }

  /** The next requests to this endpoint go wrong in this way. */
  misbehave(endpoint, fault, times) {
    return this.#tell('POST', 'misbehave', { endpoint, fault, times });
  }

  /** Every access token that was issued so far is answered with 401 from now on. */
  expireAccessTokens() {
    return this.#tell('POST', 'expire-access-tokens');
  }

  /** The stack's clock goes on by so many seconds. */
  pass(seconds) {
    return this.#tell('POST', 'pass', { seconds });
  }

  forgetCalls() {
    return this.#tell('DELETE', 'calls');
  }

  /** How often a refresh token came to the token endpoint since the calls were forgotten. */
  async refreshes() {
    const calls = await this.#tell('GET', 'calls');
    return calls.filter((call) => call.grant_type === 'refresh_token').length;
  }

  async #tell(method, control, body) {
    const answer = await fetch(`${this.origin}/_world/${control}`, { method, body: body && JSON.stringify(body) });
    if (!answer.ok) throw new Error(`${control}: ${answer.status} ${await answer.text()}`);
    return answer.json();
  }
}
