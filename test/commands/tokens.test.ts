import { describe, expect, test } from 'vitest'
import type { TokenDescription } from '../../src/admin/protocol.ts'
import { withSite } from '../cli/fake-site.ts'
import { runHere } from '../cli/run-comio.ts'

const listPath = 'GET /admin/tokens'
const revokePath = 'POST /admin/tokens/revoke'

const ops: TokenDescription = {
  name: 'ops',
  role: 'admin',
  source: 'auth.tokens[0], from /etc/comio/ops.token',
  state: 'valid',
  expires: '2027-01-31T00:00:00.000Z',
  last_used: null,
  revoked_at: null,
}
const gone: TokenDescription = {
  ...ops,
  name: 'gone\u001b[2J',
  state: 'revoked',
  revoked_at: '2026-01-02T03:04:05.678Z',
}

describe('token list', () => {
  test('shows name, role, state and place in 80 columns', async () => {
    const text = JSON.stringify({ tokens: [ops, gone] })
    await withSite({ [listPath]: { text } }, async (url) => {
      const { code, stdout } = await runHere(['token', 'list', '--url', url])
      expect(code).toBe(0)
      expect(stdout).toMatch(/ops .*admin .*until/)
      expect(stdout).toContain('not yet')
      expect(stdout).toContain('revoked')
      expect(stdout).not.toContain('\u001b')
      for (const line of stdout.split('\n')) expect(line.length).toBeLessThanOrEqual(80)
      const json = await runHere(['token', 'list', '--json', '--url', url])
      expect(JSON.parse(json.stdout)).toEqual({ tokens: [ops, gone] })
    })
  })

  test('says so when there is none', async () => {
    await withSite({ [listPath]: { text: '{"tokens":[]}' } }, async (url) => {
      const { stdout } = await runHere(['token', 'list', '--url', url])
      expect(stdout).toBe('no token is configured\n')
    })
  })
})

describe('token revoke', () => {
  const answer = { name: 'ops', revoked_at: '2026-01-02T03:04:05.678Z', admin_tokens_left: 0 }

  test('asks for just that, and warns when nobody is left who could administer', async () => {
    await withSite({ [revokePath]: { text: JSON.stringify(answer) } }, async (url, seen) => {
      const { code, stdout, stderr } = await runHere(['token', 'revoke', 'ops', '--url', url])
      expect(code).toBe(0)
      expect(JSON.parse(seen[0]?.body ?? '')).toEqual({ name: 'ops' })
      expect(stdout).toContain('ops is refused since 2026-01-02')
      expect(stderr).toContain('no valid token of the role admin is left')
    })
  })

  test('a name cannot steer the terminal', async () => {
    const text = JSON.stringify({ ...answer, name: 'gone\u001b[2J' })
    await withSite({ [revokePath]: { text } }, async (url) => {
      const { stdout } = await runHere(['token', 'revoke', 'gone\u001b[2J', '--url', url])
      expect(stdout).toContain('gone\\u{1b}[2J is refused')
      expect(stdout).not.toContain('\u001b')
    })
  })

  test('without a name is a mistake of usage', async () => {
    expect((await runHere(['token', 'revoke'])).code).toBe(2)
  })
})
