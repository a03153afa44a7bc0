/**
 * keys: the identity of a plane, kept outside its database. Root and signing keys, the certificate authority, the master
 * secret from which purposes are derived, the administrator's token, the instance that these keys belong to, and the
 * highest revision ever promised. Whoever has the database but not this directory can sign, decrypt and pretend nothing.
 *
 * Files are written whole (temporary, fsync, rename, fsync of the directory) with mode 0600; nothing secret has a printable
 * form.
 */
export { openKeys, type InstanceVerdict, type KeysOptions, type PlaneKeys } from './open-keys.ts';
