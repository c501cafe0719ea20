/** Settings for a site that ships to another, and for that other. */
import type { SiteSettings } from './site-process.ts'

export const acceptedToken = 'e2e-token-0123456789abcdef0123456789abcdef0123456789'

export const accepting: SiteSettings = {
  config: { replication: { accept_tokens: [acceptedToken] } },
}

/** Ships to `url`, and looks often whether it is back; `replication` adds keys of that section. */
export function shippingTo(url: string, replication: object = {}): SiteSettings {
  const remote = {
    enabled: true,
    remote_url: url,
    remote_token: acceptedToken,
    retry_delay: '300ms',
  }
  return { config: { replication: { ...remote, ...replication } } }
}

/** Takes what others ship, and ships to `url`. */
export function pointingAt(url: string): SiteSettings {
  return shippingTo(url, { accept_tokens: [acceptedToken] })
}

export function acceptingWith(replication: object): SiteSettings {
  return { config: { replication: { accept_tokens: [acceptedToken], ...replication } } }
}
