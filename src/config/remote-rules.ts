/** What no field of a remote can know alone. */
import type { Rule, RuleFinding } from './config-rule.ts'
import { isLoopbackHost } from './host-kind.ts'
import { shortFormName } from './remote-entry.ts'
import { effective } from './server-config.ts'

const key = 'replication.remotes'

export const remotesAreDistinct: Rule = {
  needs: [key, 'replication.remote_url'],
  check: ({ values, isSet }) => {
    const found: RuleFinding[] = []
    const names = new Set<string>(isSet('replication.remote_url') ? [shortFormName] : [])
    for (const [position, { name }] of effective(values, key).entries()) {
      if (names.has(name)) {
        const whose =
          name === shortFormName && isSet('replication.remote_url')
            ? 'what replication.remote_url names is called'
            : 'another entry is called'
        const sentence = `${key}[${position}].name is ${JSON.stringify(name)}, which ${whose} already`
        found.push({ key, path: [position, 'name'], sentence })
      }
      names.add(name)
    }
    return found
  },
}

export const remoteHasOneTokenSource: Rule = {
  needs: [key],
  check: ({ values }) =>
    effective(values, key).flatMap((entry, position) => {
      if (entry.token === undefined || entry.token_file === undefined) return []
      const sentence =
        `${key}[${position}].token_file is set, but so is its token: only one of them can hold ` +
        'the token'
      return [{ key, path: [position, 'token_file'], sentence }]
    }),
}

export const remoteShowsCertificateWithKey: Rule = {
  needs: [key],
  check: ({ values }) =>
    effective(values, key).flatMap((entry, position) => {
      if ((entry.client_cert === undefined) === (entry.client_key === undefined)) return []
      const [there, missing] =
        entry.client_key === undefined
          ? (['client_cert', 'client_key'] as const)
          : (['client_key', 'client_cert'] as const)
      const sentence =
        `${key}[${position}].${there} is set, but its ${missing} is not: to show a certificate ` +
        'needs both'
      return [{ key, path: [position, there], sentence }]
    }),
}

export const remoteHasAddress: Rule = {
  needs: [key],
  check: ({ values }) =>
    effective(values, key).flatMap(({ url }, position) =>
      url.length > 0
        ? []
        : [{ key, path: [position, 'url'], sentence: `${key}[${position}].url names no address` }],
    ),
}

export const remotePlaintextIsChosen: Rule = {
  needs: [key, 'replication.enabled', 'replication.allow_plaintext'],
  check: ({ values }) => {
    if (!effective(values, 'replication.enabled')) return []
    if (effective(values, 'replication.allow_plaintext')) return []
    return effective(values, key).flatMap((entry, position) => {
      if (entry.token === undefined && entry.token_file === undefined) return []
      const open = entry.url.find((url) => {
        const { protocol, hostname } = new URL(url)
        return protocol === 'http:' && !isLoopbackHost(hostname)
      })
      if (open === undefined) return []
      const sentence =
        `${key}[${position}].url is ${open}, which would carry the token unencrypted over the ` +
        'network: use https://, or accept that with replication.allow_plaintext: true'
      return [{ key, path: [position, 'url'], sentence }]
    })
  },
}
