import { NoSuchTokenError } from '../../src/admin/errors.ts'
import type { TokenControl } from '../../src/admin/ports.ts'

/** One token, which may be revoked. */
export const fakeTokens: TokenControl = {
  list: () => [
    {
      name: 'ops',
      role: 'admin',
      source: 'auth.tokens[0]',
      state: 'valid',
      expires: null,
      last_used: '2026-01-01T00:00:00.000Z',
      revoked_at: null,
    },
  ],
  revoke: async (name) => {
    if (name !== 'ops') throw new NoSuchTokenError('no such token')
    return { name, revoked_at: '2026-01-02T03:04:05.000Z', admin_tokens_left: 1 }
  },
}
