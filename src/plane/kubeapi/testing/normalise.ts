/** What two servers cannot have in common, replaced by what stands for it. */
export function normalise(text: string, namespace: string): string {
  return (
    text
      .replaceAll(namespace, 'NS')
      // klog's header: date, time and process.
      .replace(/^[IWEF]\d{4} \d\d:\d\d:\d\d\.\d+ +\d+ /gm, 'KLOG ')
      .replace(/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g, 'UID')
      .replace(/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ/g, (time) => (time.startsWith('2026-01-01') ? time : 'TIME'))
      .replace(/\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)? [+-]\d{4}( [A-Z]+)?/g, 'TIME')
      .replace(/(resourceVersion\\?"?: ?\\?"?)\d+/g, '$1RV')
      .replace(/(Resource Version: +)\d+/g, '$1RV')
      .replace(/ +\b(\d+[smhd]){1,2}\b( *)/g, ' AGE ')
      .replace(/(NAME|NAMESPACE|LAST SEEN|CLUSTER|READY)[ A-Z]*/g, (header) => header.replace(/ +/g, ' '))
      .replace(/\/tmp\/\S+/g, 'FILE')
      .replace(/https:\/\/127\.0\.0\.1:\d+/g, 'SERVER')
  );
}
