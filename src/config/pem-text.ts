/** Apart from the schemas, so that whoever only asks this does not load them. */

/** Whether it is the text of a PEM file, and not where one is. */
export const isPemText = (text: string): boolean => text.includes('-----BEGIN ')
