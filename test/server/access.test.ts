import type { IncomingMessage } from 'node:http'
import { describe, expect, it } from 'vitest'
import type { AuthToken, TokenRole } from '../../src/config/tokens.ts'
import { AccessControl, type AccessOptions } from '../../src/server/credentials/access.ts'

const roles = ['read', 'write', 'admin', 'replication'] as const

const tokens: readonly AuthToken[] = roles.map((role) => ({
  name: role,
  role,
  token: `the-${role}-token`,
}))

interface Caller {
  readonly role?: TokenRole | 'unknown' | 'accepted'
  readonly headers?: Readonly<Record<string, string>>
}

function from({ role, headers }: Caller): IncomingMessage {
  const all: Record<string, string> = { host: '127.0.0.1:8080', ...headers }
  if (role !== undefined) all.authorization = `Bearer the-${role}-token`
  return { headers: all } as unknown as IncomingMessage
}

function control(options: Partial<AccessOptions>): AccessControl {
  return new AccessControl({
    loopback: true,
    allowAnonymous: false,
    tokens: [],
    acceptTokens: [],
    ...options,
  })
}

const sites = {
  'loopback, no tokens': control({}),
  'loopback, no tokens, accepts replication': control({ acceptTokens: ['the-accepted-token'] }),
  'loopback, tokens': control({ tokens, acceptTokens: ['the-accepted-token'] }),
  'beyond, anonymous': control({ loopback: false, allowAnonymous: true }),
  'beyond, anonymous, accepts replication': control({
    loopback: false,
    allowAnonymous: true,
    acceptTokens: ['the-accepted-token'],
  }),
  'beyond, tokens': control({ loopback: false, tokens, acceptTokens: ['the-accepted-token'] }),
  'beyond, tokens, anonymous': control({ loopback: false, allowAnonymous: true, tokens }),
} as const

const endpoints = {
  'data read': (site: AccessControl, request: IncomingMessage) => site.data(request, 'read'),
  'data write': (site: AccessControl, request: IncomingMessage) => site.data(request, 'write'),
  health: (site: AccessControl, request: IncomingMessage) => site.control(request, 'open'),
  status: (site: AccessControl, request: IncomingMessage) => site.control(request, 'read'),
  purge: (site: AccessControl, request: IncomingMessage) => site.control(request, 'admin'),
  batch: (site: AccessControl, request: IncomingMessage) => site.replication(request),
} as const

const callers = ['nobody', 'unknown', ...roles, 'accepted'] as const

/**
 * One row per site and endpoint; the columns are the callers in the order above. `.` stands for
 * allowed, 1 for 401, 3 for 403.
 */
const matrix: Readonly<Record<keyof typeof sites, Record<keyof typeof endpoints, string>>> = {
  'loopback, no tokens': {
    'data read': '.......',
    'data write': '.......',
    health: '.......',
    status: '.......',
    purge: '.......',
    batch: '3333333',
  },
  'loopback, no tokens, accepts replication': {
    'data read': '.......',
    'data write': '.......',
    health: '.......',
    status: '.......',
    purge: '.......',
    batch: '111111.',
  },
  'loopback, tokens': {
    'data read': '11...33',
    'data write': '113..33',
    health: '.......',
    status: '11...33',
    purge: '1133.33',
    batch: '11333..',
  },
  'beyond, anonymous': {
    'data read': '.......',
    'data write': '.......',
    health: '.......',
    status: '1111111',
    purge: '1111111',
    batch: '3333333',
  },
  'beyond, anonymous, accepts replication': {
    'data read': '.......',
    'data write': '.......',
    health: '.......',
    status: '1111113',
    purge: '1111113',
    batch: '111111.',
  },
  'beyond, tokens': {
    'data read': '11...33',
    'data write': '113..33',
    health: '.......',
    status: '11...33',
    purge: '1133.33',
    batch: '11333..',
  },
  'beyond, tokens, anonymous': {
    'data read': '.......',
    'data write': '.......',
    health: '.......',
    status: '11...31',
    purge: '1133.31',
    batch: '11333.1',
  },
}

describe('the access matrix', () => {
  for (const site of Object.keys(sites) as (keyof typeof sites)[]) {
    for (const endpoint of Object.keys(endpoints) as (keyof typeof endpoints)[]) {
      it(`${site}: ${endpoint}: ${matrix[site][endpoint]}`, () => {
        const row = callers.map((caller) => {
          const request = from(caller === 'nobody' ? {} : { role: caller })
          const denial = endpoints[endpoint](sites[site], request)
          if (denial === undefined) return '.'
          expect(denial.hint).not.toBe('')
          return String(denial.status).slice(2)
        })
        expect(row.join('')).toBe(matrix[site][endpoint])
      })
    }
  }

  it('names the flag when no replication token is configured', () => {
    const denial = control({}).replication(from({ role: 'accepted' }))
    expect(denial?.hint).toContain('--replication-accept-token')
  })

  it('gives a token that stands under two roles both', () => {
    const site = control({
      tokens: [{ name: 'a', role: 'admin', token: 'the-accepted-token' }],
      acceptTokens: ['the-accepted-token'],
    })
    expect(site.control(from({ role: 'accepted' }), 'admin')).toBeUndefined()
    expect(site.replication(from({ role: 'accepted' }))).toBeUndefined()
  })

  it.each([
    ['bearer the-read-token', undefined],
    ['Bearer  the-read-token ', undefined],
    ['Bearer the-read-toke', 401],
    ['Bearer the-read-token2', 401],
    ['Bearer', 401],
    ['Bearer ', 401],
    ['Basic the-read-token', 401],
    ['the-read-token', 401],
    ['Bearer the-read-token the-read-token', 401],
  ])('reads the header Authorization: %s', (authorization, status) => {
    const denial = sites['loopback, tokens'].data(from({ headers: { authorization } }), 'read')
    expect(denial?.status).toBe(status)
  })
})

describe('web pages', () => {
  it.each([
    ['localhost'],
    ['localhost:8080'],
    ['LocalHost:8080'],
    ['127.0.0.1'],
    ['127.8.9.1:80'],
    ['[::1]'],
    ['[::1]:8080'],
  ])('may be told apart: Host %s is loopback', (host) => {
    expect(sites['loopback, no tokens'].data(from({ headers: { host } }), 'write')).toBeUndefined()
    expect(
      sites['loopback, no tokens'].control(from({ headers: { host } }), 'admin'),
    ).toBeUndefined()
  })

  it.each([
    ['evil.example'],
    ['evil.example:8080'],
    ['localhost.evil.example'],
    ['127.0.0.1.evil.example'],
    ['127.0.0.1:8080:80'],
    ['0.0.0.0:8080'],
    ['10.0.0.1'],
    ['[::2]'],
    ['[127.0.0.1]'],
    ['localhost:8080@evil.example'],
    [''],
  ])('Host %j is refused on either plane, health aside', (host) => {
    const site = sites['loopback, no tokens']
    const request = from({ headers: { host } })
    expect(site.data(request, 'read')).toMatchObject({ status: 403, code: 'FOREIGN_HOST' })
    expect(site.control(request, 'read')).toMatchObject({ status: 403, code: 'FOREIGN_HOST' })
    expect(site.control(request, 'open')).toBeUndefined()
  })

  it('are told apart however many hosts were seen before', () => {
    const site = control({})
    const judge = (host: string) => site.data(from({ headers: { host } }), 'read')?.code
    for (let port = 1; port < 100; port++) expect(judge(`localhost:${port}`)).toBeUndefined()
    for (const _again of [1, 2]) {
      expect(judge('localhost:99')).toBeUndefined()
      expect(judge('localhost.evil.example:99')).toBe('FOREIGN_HOST')
    }
  })

  it('are refused without any Host', () => {
    const request = { headers: {} } as unknown as IncomingMessage
    expect(sites['loopback, no tokens'].data(request, 'read')).toMatchObject({ status: 403 })
  })

  it.each([
    [{ origin: 'http://127.0.0.1:8080' }, undefined],
    [{ origin: 'http://127.0.0.1:3000' }, 'FOREIGN_ORIGIN'],
    [{ origin: 'https://127.0.0.1:8080' }, 'FOREIGN_ORIGIN'],
    [{ origin: 'http://evil.example' }, 'FOREIGN_ORIGIN'],
    [{ origin: 'null' }, 'FOREIGN_ORIGIN'],
    [{ origin: '' }, 'FOREIGN_ORIGIN'],
    [{ 'sec-fetch-site': 'cross-site' }, 'FOREIGN_ORIGIN'],
    [{ 'sec-fetch-site': 'same-site' }, 'FOREIGN_ORIGIN'],
    [{ 'sec-fetch-site': 'same-origin' }, undefined],
    [{ 'sec-fetch-site': 'none' }, undefined],
  ])('are judged by %j', (headers, code) => {
    const denial = sites['loopback, no tokens'].data(from({ headers: { ...headers } }), 'read')
    expect(denial?.code).toBe(code)
  })

  it('and proxies do not matter where tokens are asked for', () => {
    const headers = { host: 'site-b.example.com', origin: 'https://site-b.example.com' }
    const site = sites['loopback, tokens']
    expect(site.data(from({ role: 'write', headers }), 'write')).toBeUndefined()
    expect(site.replication(from({ role: 'accepted', headers }))).toBeUndefined()
  })
})

describe('a page that is stored here and opened in a browser', () => {
  const site = control({})
  const page = { 'sec-fetch-site': 'same-origin', origin: 'http://127.0.0.1:8080' }

  it('can read its own site', () => {
    expect(site.data(from({ headers: page }), 'read')).toBeUndefined()
  })

  it.each([page, { 'sec-fetch-site': 'same-origin' }, { origin: 'http://127.0.0.1:8080' }])(
    'cannot reach the control plane: %j',
    (headers) => {
      expect(site.control(from({ headers }), 'admin')).toMatchObject({
        status: 403,
        code: 'FOREIGN_ORIGIN',
      })
    },
  )

  it('does not keep an address typed into a browser from it', () => {
    expect(site.control(from({ headers: { 'sec-fetch-site': 'none' } }), 'read')).toBeUndefined()
  })
})
