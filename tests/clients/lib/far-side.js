// The far side of Latchkey's calls, in the place of Salesforce: npm `oidc-provider`, certified by the OpenID
// Foundation, at Salesforce's paths. Its own login and consent pages, PKCE, rotation with reuse detection,
// introspection and revocation are untouched. Where Salesforce adds to the RFCs, or asks less than they do, a
// middleware makes up for it.

import { createHmac, generateKeyPairSync, randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import { setTimeout } from 'node:timers/promises';
import { Provider } from 'oidc-provider';

import { adapter } from './adapter.js';

/** Salesforce's paths. */
const ROUTES = {
  authorization: '/services/oauth2/authorize',
  token: '/services/oauth2/token',
  introspection: '/services/oauth2/introspect',
  revocation: '/services/oauth2/revoke',
  userinfo: '/services/oauth2/userinfo',
  jwks: '/id/keys',
};

const HOUR = 3600;

const ORG = '00DgK0000000009UAA';
const USER = '005gK0000000901QAA';
const USERNAME = 'uma@elsewhere.example';

export class FarSide {
  /** Every call of the token endpoint: `{ grantType, params, error }`, the error in the provider's own words. */
  calls = [];
  /** Every token answer that was given, as it was sent. */
  answers = [];
  /** The ids of the grants that ended. */
  ended = [];
  /** Changes the next token answer on its way out, once. */
  twist;
  /** How long, in milliseconds, the next call of the token endpoint waits before the provider sees it, once. */
  pause;
  /** How long, in milliseconds, each call of the token endpoint takes at least. */
  takes = () => 0;
  /** How far the provider's clock, as token answers give it, is ahead of this machine's, in milliseconds. */
  ahead = 0;
  /**
   * Every use of a refresh token: `{ token, began, done, status, access, refresh, sent }`: from when to when the provider
   * worked on it, the tokens that it gave, and when the answer was handed to the network, if it was.
   */
  uses = [];
  /** Calls of the token endpoint that have not been answered yet. */
  inFlight = 0;
  #server;

  /** Takes a free port. The issuer is known from here on; it answers once it is `serve`d. */
  static async listen() {
    const farSide = new FarSide();
    farSide.#server = createServer();
    await new Promise((done) => farSide.#server.listen(0, '127.0.0.1', done));
    const { port } = farSide.#server.address();
    farSide.issuer = `http://login.elsewhere.localhost:${port}`;
    farSide.instanceUrl = `http://acme.my.elsewhere.localhost:${port}`;
    farSide.org = ORG;
    farSide.user = USER;
    farSide.username = USERNAME;
    // The account's id, and so the `sub` of everything, is the identity URL, as at Salesforce.
    farSide.identity = `${farSide.issuer}/id/${ORG}/${USER}`;
    return farSide;
  }

  /** Answers from now on, for this app and its callback. */
  serve(app, callback) {
    this.app = app;
    this.provider = new Provider(this.issuer, configuration(app, callback));
    this.provider.use((ctx, next) => this.#salesforce(ctx, next));
    this.provider.on('grant.success', (ctx) => this.#note(ctx));
    this.provider.on('grant.error', (ctx, error) => this.#note(ctx, error.error_detail ?? error.message));
    this.provider.on('grant.revoked', (ctx, grant) => this.ended.push(grant));
    this.#server.on('request', this.provider.callback());
  }

  async stop() {
    this.#server.closeAllConnections();
    await new Promise((done) => this.#server.close(done));
  }

  /** The calls of one grant type. */
  callsOf(grantType) {
    return this.calls.filter((call) => call.grantType === grantType);
  }

  /** What the provider itself says about a token (RFC 7662). */
  async introspect(token) {
    return (await this.#post(ROUTES.introspection, { token })).json();
  }

  /** A refresh token of a grant of its own, as the product got it before it used Latchkey. */
  async refreshToken() {
    const { Grant, RefreshToken, Client } = this.provider;
    const scope = 'api refresh_token openid';
    const grant = new Grant({ accountId: this.identity, clientId: this.app.consumerKey });
    grant.addOIDCScope(scope);
    const client = await Client.find(this.app.consumerKey);
    const granted = {
      accountId: this.identity,
      client,
      grantId: await grant.save(24 * HOUR),
      gty: 'authorization_code',
      scope,
      authTime: Math.floor(Date.now() / 1000),
      expiresWithSession: false,
    };
    return new RefreshToken(granted).save();
  }

  /** A call of the token endpoint with the app's credentials, by somebody who is not Latchkey. */
  async ask(params) {
    const answer = await this.#post(ROUTES.token, params);
    return { status: answer.status, body: await answer.json() };
  }

  #post(path, params) {
    const credentials = { client_id: this.app.consumerKey, client_secret: this.app.secret };
    return fetch(`${this.issuer}${path}`, {
      method: 'POST',
      body: new URLSearchParams({ ...params, ...credentials }),
    });
  }

  #note(ctx, error) {
    const { grant_type: grantType, client_secret: _, ...params } = ctx.oidc.params;
    this.calls.push({ grantType, params, error });
  }

  async #salesforce(ctx, next) {
    if (ctx.path === new URL(this.identity).pathname) return this.#tellUser(ctx);
    if (ctx.path === ROUTES.revocation && !ctx.headers.authorization) {
      // RFC 7009 §2.1 asks the client to authenticate; Salesforce knows by the token whose it is, and does not.
      const credentials = [this.app.consumerKey, this.app.secret].map(encodeURIComponent).join(':');
      ctx.req.headers.authorization = `Basic ${Buffer.from(credentials).toString('base64')}`;
    }
    if (ctx.path !== ROUTES.token) return next();
    const began = performance.now();
    this.inFlight += 1;
    try {
      if (this.pause) await this.#wait();
      await setTimeout(this.takes());
      await next();
      if (ctx.status === 200) this.#addToAnswer(ctx);
      else if (ctx.body?.error === 'invalid_grant' && ctx.oidc.params.refresh_token) {
        // Salesforce's words for a token that has ended. Only words that are known to be final end a grant.
        ctx.body = { ...ctx.body, error_description: 'expired access/refresh token' };
      }
    } finally {
      this.#noteUse(ctx, began);
      this.inFlight -= 1;
    }
  }

  #noteUse(ctx, began) {
    const token = ctx.oidc?.params?.refresh_token;
    if (!token) return;
    const { access_token: access, refresh_token: refresh } = ctx.body ?? {};
    const use = { token, began, done: performance.now(), status: ctx.status, access, refresh };
    this.uses.push(use);
    ctx.res.once('finish', () => { use.sent = performance.now(); });
  }

  async #wait() {
    const { pause } = this;
    this.pause = undefined;
    await setTimeout(pause);
  }

  /** Salesforce signs whose the tokens are, says where the API answers, and does not say when they expire. */
  #addToAnswer(ctx) {
    const id = ctx.oidc.entities.Account.accountId;
    const { expires_in: _, ...standard } = ctx.body;
    const issuedAt = String(Date.now() + this.ahead);
    const answer = {
      ...standard,
      id,
      issued_at: issuedAt,
      signature: sign(this.app.secret, id, issuedAt),
      instance_url: this.instanceUrl,
    };
    ctx.body = this.twist?.(answer) ?? answer;
    this.twist = undefined;
    this.answers.push(ctx.body);
  }

  /** The identity URL, for a bearer of one of its tokens. */
  async #tellUser(ctx) {
    const token = await this.provider.AccessToken.find(ctx.get('authorization').replace(/^Bearer /, ''));
    ctx.status = token ? 200 : 403;
    if (token) ctx.body = { id: this.identity, organization_id: ORG, user_id: USER, username: USERNAME };
  }
}

/** `signature`: base64 of HMAC-SHA256 over `id` and `issued_at` under the consumer secret. */
export function sign(secret, id, issuedAt) {
  return createHmac('sha256', secret).update(id + issuedAt).digest('base64');
}

function configuration(app, callback) {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const key = { ...privateKey.export({ format: 'jwk' }), kid: 'elsewhere-1', use: 'sig', alg: 'RS256' };
  return {
    adapter: adapter(),
    clients: [
      {
        client_id: app.consumerKey,
        client_secret: app.secret,
        redirect_uris: [callback],
        grant_types: ['authorization_code', 'refresh_token'],
        response_types: ['code'],
        token_endpoint_auth_method: 'client_secret_post',
      },
    ],
    scopes: ['openid', 'offline_access', 'api', 'refresh_token'],
    pkce: { required: () => true },
    rotateRefreshToken: true,
    issueRefreshToken: (ctx, client, code) => code.scopes.has('refresh_token') || code.scopes.has('offline_access'),
    expiresWithSession: () => false,
    findAccount: (ctx, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
    features: {
      devInteractions: { enabled: true },
      introspection: { enabled: true },
      revocation: { enabled: true },
    },
    routes: ROUTES,
    cookies: { keys: [randomBytes(32).toString('base64url')] },
    jwks: { keys: [key] },
    // Seconds.
    ttl: {
      AccessToken: HOUR,
      AuthorizationCode: 60,
      Grant: 24 * HOUR,
      IdToken: HOUR,
      Interaction: 600,
      RefreshToken: 24 * HOUR,
      Session: HOUR,
    },
  };
}
