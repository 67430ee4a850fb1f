import type { Latchkey } from './client.js';
import type { ConnectionRef } from './resources.js';

/** What jsforce's `new Connection(…)` takes. */
export interface JsforceOptions {
  instanceUrl: string;
  accessToken: string;
  refreshFn(
    org: { instanceUrl: string },
    done: (error: Error | null, accessToken?: string) => void,
  ): void;
}

/**
 * Options for `new jsforce.Connection(…)`. After a 401, jsforce asks Latchkey for another token and repeats the request.
 * Make a jsforce connection for each unit of work: its first token is at most a minute old.
 */
export async function jsforceOptions(latchkey: Latchkey, connection: ConnectionRef): Promise<JsforceOptions> {
  let token = await latchkey.tokens.get(connection);
  const replace = async (org: { instanceUrl: string }) => {
    token = await latchkey.tokens.replace(connection, token.fingerprint);
    org.instanceUrl = token.instance_url;
    return token.access_token;
  };
  const options: JsforceOptions = {
    instanceUrl: token.instance_url,
    accessToken: token.access_token,
    refreshFn: (org, done) => void replace(org).then((accessToken) => done(null, accessToken), done),
  };
  return options;
}
