export { Latchkey, Tokens, type LatchkeyOptions } from './client.js';
export * from './errors.js';
export {
  ConnectSessions,
  Connections,
  Events,
  Failures,
  OpsLinks,
  type ConnectionRef,
  type CreateOptions,
  type Returned,
} from './resources.js';
export type {
  RequestSigner,
  RequestToSign,
  SalesforceFetch,
  SalesforceOptions,
  SalesforceOrg,
} from './salesforce.js';
export type { TokenOptions } from './tokens.js';
export type { CallOptions } from './transport.js';
export type * from './types.js';
export {
  verifyWebhook,
  WebhookReceiver,
  type HandleOutcome,
  type VerifyOptions,
  type WebhookHeaders,
  type WebhookStore,
} from './webhooks.js';
