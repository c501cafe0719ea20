/** Which hosts stay on this machine, and which mean "all addresses". */
import { BlockList, isIP } from 'node:net'

const loopback = new BlockList()
loopback.addSubnet('127.0.0.0', 8, 'ipv4')
loopback.addAddress('::1', 'ipv6')

const wildcard = new BlockList()
wildcard.addAddress('0.0.0.0', 'ipv4')
wildcard.addAddress('::', 'ipv6')

function contains(list: BlockList, host: string): boolean {
  const address = host.startsWith('[') && host.endsWith(']') ? host.slice(1, -1) : host
  const family = isIP(address)
  return family !== 0 && list.check(address, family === 4 ? 'ipv4' : 'ipv6')
}

/** True when only this machine can reach `host`. Names other than localhost count as elsewhere. */
export function isLoopbackHost(host: string): boolean {
  return host.toLowerCase() === 'localhost' || contains(loopback, host)
}

/** True for 0.0.0.0 and ::, which nobody else can use as an address of this machine. */
export function isWildcardHost(host: string): boolean {
  return contains(wildcard, host)
}

/** `host:port` as it stands in a URL: an IPv6 address in brackets. */
export function urlOfHost(
  host: string,
  port: number,
  { tls = false }: { readonly tls?: boolean } = {},
): string {
  return `${tls ? 'https' : 'http'}://${isIP(host) === 6 ? `[${host}]` : host}:${port}`
}
