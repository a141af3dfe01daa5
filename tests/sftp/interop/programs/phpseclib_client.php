<?php
// SPDX-License-Identifier: Apache-2.0
// Carries out steps with phpseclib; see clients_foreign.py.
declare(strict_types=1);

require $argv[1];

use phpseclib3\Crypt\PublicKeyLoader;
use phpseclib3\Net\SFTP;

set_error_handler(static function (int $level, string $message): never {
    throw new ErrorException($message, 0, $level);
}, E_ALL & ~E_DEPRECATED & ~E_USER_DEPRECATED);

$request = json_decode(stream_get_contents(STDIN), true, 16, JSON_THROW_ON_ERROR);
$sftp = new SFTP($request['host'], $request['port']);
$key = PublicKeyLoader::load(file_get_contents($request['key']));

function check(SFTP $sftp, mixed $result): mixed
{
    if ($result === false) {
        throw new RuntimeException($sftp->getLastSFTPError() ?: $sftp->getLastError());
    }
    return $result;
}

function names(SFTP $sftp, string $path): array
{
    return array_values(array_diff(check($sftp, $sftp->nlist($path)), ['.', '..']));
}

$deeds = [
    'Put' => fn ($step) => $sftp->put($step['remote'], $step['local'], SFTP::SOURCE_LOCAL_FILE),
    'Get' => fn ($step) => $sftp->get($step['remote'], $step['local']),
    // Its own RESUME goes on at the right place, with the beginning of the local file.
    'Resume' => function ($step) use ($sftp) {
        $begun = check($sftp, $sftp->filesize($step['remote']));
        $mode = SFTP::SOURCE_LOCAL_FILE;
        return $sftp->put($step['remote'], $step['local'], $mode, $begun, $begun);
    },
    'PutTree' => function ($step) use ($sftp) {
        check($sftp, $sftp->mkdir($step['remote']));
        foreach (array_diff(scandir($step['local']), ['.', '..']) as $name) {
            $local = "{$step['local']}/$name";
            check($sftp, $sftp->put("{$step['remote']}/$name", $local, SFTP::SOURCE_LOCAL_FILE));
        }
        return true;
    },
    'GetTree' => function ($step) use ($sftp) {
        mkdir($step['local']);
        foreach (names($sftp, $step['remote']) as $name) {
            check($sftp, $sftp->get("{$step['remote']}/$name", "{$step['local']}/$name"));
        }
        return true;
    },
    'Rename' => fn ($step) => $sftp->rename($step['old'], $step['new']),
    'List' => fn ($step) => names($sftp, $step['path']),
    'MakeDirectory' => fn ($step) => $sftp->mkdir($step['path']),
    'RemoveDirectory' => fn ($step) => $sftp->rmdir($step['path']),
    'Remove' => fn ($step) => $sftp->delete($step['path'], false),
];

if (!$sftp->login($request['username'], $key)) {
    throw new RuntimeException('the login was refused');
}
$listings = [];
foreach ($request['steps'] as $step) {
    $result = check($sftp, $deeds[$step['do']]($step));
    if ($step['do'] === 'List') {
        $listings[] = $result;
    }
}
$sftp->disconnect();
echo json_encode($listings, JSON_THROW_ON_ERROR);
