/**
 * What no key can know alone: combinations that cannot work, or that would open a site to people
 * its owner did not think of. Rules look at valid values only; a key that is wrong by itself has
 * already been reported.
 */
import type { ConfigKey } from './config-keys.ts'
import type { Rule, RuleFinding } from './config-rule.ts'
import { isLoopbackHost, isWildcardHost, urlOfHost } from './host-kind.ts'
import {
  delayIsNotSync,
  remoteHasAddress,
  remoteHasOneTokenSource,
  remotePlaintextIsChosen,
  remoteShowsCertificateWithKey,
  remotesAreDistinct,
  remotesShareNoAddress,
} from './remote-rules.ts'
import { effective } from './server-config.ts'
import { acceptEntryOf } from './tokens.ts'

const secretLengthMin = 32

function finding(key: ConfigKey, sentence: string): readonly RuleFinding[] {
  return [{ key, sentence }]
}

const none: readonly RuleFinding[] = []

const listeningNeedsTokens: Rule = {
  needs: ['server.host', 'server.allow_anonymous', 'auth.tokens'],
  check: ({ values }) => {
    const host = effective(values, 'server.host')
    const open = effective(values, 'server.allow_anonymous')
    if (isLoopbackHost(host) || open || effective(values, 'auth.tokens').length > 0) return none
    return finding(
      'server.host',
      `server.host is ${JSON.stringify(host)}, which others can reach, but auth.tokens is empty: ` +
        'anybody could read and write everything. Set auth.tokens, or open the data plane on ' +
        'purpose with --allow-anonymous',
    )
  },
}

const enabledNeedsRemote: Rule = {
  needs: ['replication.enabled', 'replication.remote_url', 'replication.remotes'],
  check: ({ values, isSet }) => {
    if (!effective(values, 'replication.enabled') || isSet('replication.remote_url')) return none
    if (effective(values, 'replication.remotes').length > 0) return none
    return finding(
      'replication.enabled',
      'replication.enabled is true, but neither replication.remote_url nor replication.remotes is set: ' +
        'name the other site with --replication-remote URL; or leave it off, and run ' +
        'comio repl remote add NAME URL once the site is up, which does not need it',
    )
  },
}

const wildcardNeedsAddress: Rule = {
  needs: ['replication.enabled', 'replication.transfer', 'server.host', 'server.advertise_url'],
  check: ({ values, isSet }) => {
    if (effective(values, 'replication.transfer') === 'push') return none
    const host = effective(values, 'server.host')
    if (!effective(values, 'replication.enabled') || !isWildcardHost(host)) return none
    if (isSet('server.advertise_url')) return none
    return finding(
      'server.host',
      `server.host is ${JSON.stringify(host)}, which is no address that the remote could call back ` +
        'at to pull large objects: set --advertise-url URL, or replication.transfer: push',
    )
  },
}

const oneTokenSource: Rule = {
  needs: [],
  check: ({ isSet }) => {
    if (!isSet('replication.remote_token') || !isSet('replication.remote_token_file')) return none
    return finding(
      'replication.remote_token_file',
      'replication.remote_token_file is set, but so is replication.remote_token: only one of them ' +
        'can hold the token',
    )
  },
}

const plaintextIsChosen: Rule = {
  needs: ['replication.enabled', 'replication.remote_url', 'replication.allow_plaintext'],
  check: ({ values, isSet }) => {
    const url = values['replication.remote_url']
    const secret = isSet('replication.remote_token') || isSet('replication.remote_token_file')
    if (!effective(values, 'replication.enabled') || url === undefined || !secret) return none
    const { protocol, hostname } = new URL(url)
    if (protocol === 'https:' || isLoopbackHost(hostname)) return none
    if (effective(values, 'replication.allow_plaintext')) return none
    return finding(
      'replication.remote_url',
      `replication.remote_url is ${url}, which would carry the token unencrypted over the network: ` +
        'use https://, or accept that with replication.allow_plaintext: true',
    )
  },
}

const remoteIsElsewhere: Rule = {
  needs: [
    'replication.enabled',
    'replication.remote_url',
    'server.host',
    'server.port',
    'server.advertise_url',
  ],
  check: ({ values }) => {
    const url = values['replication.remote_url']
    if (!effective(values, 'replication.enabled') || url === undefined) return none
    const own = urlOfHost(effective(values, 'server.host'), effective(values, 'server.port'), {
      tls: values['server.tls_cert'] !== undefined,
    })
    if (url !== values['server.advertise_url'] && url !== own) return none
    return finding(
      'replication.remote_url',
      `replication.remote_url is ${url}, which is this site itself: name the other site`,
    )
  },
}

const limitsFitTogether: Rule = {
  needs: [
    'replication.batch_size',
    'replication.queue_size',
    'replication.inline_limit',
    'replication.batch_bytes',
  ],
  check: ({ values }) => {
    const found: RuleFinding[] = []
    if (effective(values, 'replication.batch_size') > effective(values, 'replication.queue_size')) {
      found.push({
        key: 'replication.batch_size',
        sentence:
          'replication.batch_size is above replication.queue_size: a batch would never fill',
      })
    }
    if (
      effective(values, 'replication.inline_limit') > effective(values, 'replication.batch_bytes')
    ) {
      found.push({
        key: 'replication.inline_limit',
        sentence:
          'replication.inline_limit is above replication.batch_bytes: such an object would fit into ' +
          'no batch',
      })
    }
    return found
  },
}

const namesAreDistinct: Rule = {
  needs: ['auth.tokens', 'replication.accept_tokens'],
  check: ({ values }) => {
    const found: RuleFinding[] = []
    const names = new Set<string>()
    for (const key of ['auth.tokens', 'replication.accept_tokens'] as const) {
      for (const [position, entry] of effective(values, key).entries()) {
        const name = typeof entry === 'string' ? undefined : entry.name
        if (name === undefined) continue
        if (names.has(name)) {
          const sentence = `${key}[${position}].name is ${JSON.stringify(name)}, which another entry has already`
          found.push({ key, path: [position, 'name'], sentence })
        }
        names.add(name)
      }
    }
    return found
  },
}

/** Two keys of which one alone means nothing. */
function together(first: ConfigKey, second: ConfigKey, why: string): Rule {
  return {
    needs: [],
    check: ({ isSet }) => {
      if (isSet(first) === isSet(second)) return none
      const [there, missing] = isSet(first) ? [first, second] : [second, first]
      return finding(there, `${there} is set, but ${missing} is not: ${why}`)
    },
  }
}

const clientsAreJudged: Rule = {
  needs: ['server.tls_client_auth'],
  check: ({ values, isSet }) => {
    const auth = effective(values, 'server.tls_client_auth')
    const hasCa = isSet('server.tls_client_ca')
    if ((auth !== 'none' || hasCa) && !isSet('server.tls_cert')) {
      const key = hasCa ? 'server.tls_client_ca' : 'server.tls_client_auth'
      return finding(key, `${key} is set, but server.tls_cert is not: without TLS nobody shows one`)
    }
    if ((auth !== 'none') === hasCa) return none
    return hasCa
      ? finding(
          'server.tls_client_ca',
          'server.tls_client_ca is set, but server.tls_client_auth is none, so that nobody is ' +
            'asked for a certificate: set it to request or require',
        )
      : finding(
          'server.tls_client_auth',
          `server.tls_client_auth is ${auth}, but server.tls_client_ca does not say whose ` +
            'certificates are good',
        )
  },
}

/** Each finding refuses the configuration. */
export const rules: readonly Rule[] = [
  listeningNeedsTokens,
  enabledNeedsRemote,
  wildcardNeedsAddress,
  oneTokenSource,
  plaintextIsChosen,
  remoteIsElsewhere,
  limitsFitTogether,
  namesAreDistinct,
  remotesAreDistinct,
  remotesShareNoAddress,
  remoteHasAddress,
  remoteHasOneTokenSource,
  remotePlaintextIsChosen,
  remoteShowsCertificateWithKey,
  delayIsNotSync,
  together('server.tls_cert', 'server.tls_key', 'TLS needs both'),
  together('replication.client_cert', 'replication.client_key', 'to show it needs both'),
  clientsAreJudged,
]

const secretsAreLong: Rule = {
  needs: [],
  check: ({ values }) => {
    const found: RuleFinding[] = []
    const judge = (token: string, label: string, place: Omit<RuleFinding, 'sentence'>): void => {
      if (token === '' || token.length >= secretLengthMin) return
      const sentence = `${label} has ${token.length} characters: use ${secretLengthMin} or more random ones, as comio token gen prints`
      found.push({ ...place, sentence })
    }
    for (const [position, entry] of effective(values, 'auth.tokens').entries()) {
      const place = { key: 'auth.tokens', path: [position, 'token'] } as const
      judge(entry.token, `auth.tokens[${position}].token`, place)
    }
    for (const [position, accepted] of effective(values, 'replication.accept_tokens').entries()) {
      const place = { key: 'replication.accept_tokens', path: [position] } as const
      const { token } = acceptEntryOf(accepted)
      judge(token, `replication.accept_tokens[${position}]`, place)
    }
    const remote = values['replication.remote_token']
    if (remote !== undefined) {
      judge(remote, 'replication.remote_token', { key: 'replication.remote_token' })
    }
    return found
  },
}

const remoteWantsToken: Rule = {
  needs: [],
  check: ({ values, isSet }) => {
    if (!effective(values, 'replication.enabled') || !isSet('replication.remote_url')) return none
    if (isSet('replication.remote_token') || isSet('replication.remote_token_file')) return none
    return finding(
      'replication.remote_url',
      'replication.remote_token is not set: every site asks for one, so the remote will answer 401',
    )
  },
}

const remoteCanCallBack: Rule = {
  needs: [],
  check: ({ values, isSet }) => {
    const url = values['replication.remote_url']
    const host = effective(values, 'server.host')
    if (!effective(values, 'replication.enabled') || url === undefined) return none
    if (!isLoopbackHost(host) || isSet('server.advertise_url')) return none
    // Whatever else is set: what the remote cannot fetch is pushed.
    if (effective(values, 'replication.transfer') !== 'pull') return none
    if (isLoopbackHost(new URL(url).hostname)) return none
    return finding(
      'server.host',
      `server.host is ${JSON.stringify(host)}, which ${url} cannot reach: large objects, which the ` +
        'remote pulls from here, will wait until --host or --advertise-url names an address it can ' +
        'reach, or replication.transfer is auto or push',
    )
  },
}

/** Each finding is worth a sentence, and no more. */
export const cautions: readonly Rule[] = [secretsAreLong, remoteWantsToken, remoteCanCallBack]
