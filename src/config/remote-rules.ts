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

/** A site takes the latest link of a volume for the only one: a second would end the first. */
export const remotesShareNoAddress: Rule = {
  needs: [key, 'replication.remote_url'],
  check: ({ values }) => {
    const found: RuleFinding[] = []
    const short = values['replication.remote_url']
    const names = new Map<string, string>(short === undefined ? [] : [[short, shortFormName]])
    for (const [position, { name, url }] of effective(values, key).entries()) {
      const shared = url.find((one) => names.has(one) && names.get(one) !== name)
      if (shared !== undefined) {
        const sentence =
          `${key}[${position}].url is ${shared}, which is remote ${names.get(shared)} already: ` +
          'one site has one name'
        found.push({ key, path: [position, 'url'], sentence })
      }
      for (const one of url) names.set(one, name)
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

export const delayIsNotSync: Rule = {
  needs: [key, 'replication.mode', 'replication.apply_delay', 'replication.remote_url'],
  check: ({ values, isSet }) => {
    const mode = effective(values, 'replication.mode')
    const delay = effective(values, 'replication.apply_delay')
    const found: RuleFinding[] = []
    const why = 'every write would wait for the delay: take mode async, or no delay'
    if (isSet('replication.remote_url') && mode === 'sync' && delay > 0) {
      const sentence = `replication.apply_delay is set, but replication.mode is sync: ${why}`
      found.push({ key: 'replication.apply_delay', sentence })
    }
    for (const [position, entry] of effective(values, key).entries()) {
      if ((entry.mode ?? mode) !== 'sync' || (entry.apply_delay ?? delay) === 0) continue
      const sentence = `${key}[${position}] has an apply_delay, but is in mode sync: ${why}`
      found.push({ key, path: [position], sentence })
    }
    return found
  },
}
