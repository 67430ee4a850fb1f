// Where `oidc-provider` keeps what it issued. Its own adapter for development forgets what it has not seen among its last
// two thousand items, which is less than a storm makes: a token that works would be refused as unknown.

/** A provider's own adapter class; nothing is forgotten while the provider lives. */
export function adapter() {
  const items = new Map();

  return class Adapter {
    constructor(model) {
      this.model = model;
    }

    #key(id) {
      return `${this.model}:${id}`;
    }

    #findBy(member, value) {
      for (const [key, item] of items) {
        if (key.startsWith(`${this.model}:`) && item[member] === value) return item;
      }
      return undefined;
    }

    async upsert(id, payload) {
      items.set(this.#key(id), payload);
    }

    async find(id) {
      return items.get(this.#key(id));
    }

    async findByUid(uid) {
      return this.#findBy('uid', uid);
    }

    async findByUserCode(userCode) {
      return this.#findBy('userCode', userCode);
    }

    async consume(id) {
      items.get(this.#key(id)).consumed = Math.floor(Date.now() / 1000);
    }

    async destroy(id) {
      items.delete(this.#key(id));
    }

    /** Ends the tokens of a grant; the grant itself is `destroy`ed. */
    async revokeByGrantId(grantId) {
      for (const [key, item] of items) {
        if (item.grantId === grantId) items.delete(key);
      }
    }
  };
}
