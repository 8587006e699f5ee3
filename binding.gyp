{
  'targets': [
    {
      'target_name': 'holdfast',
      'dependencies': ["<!(node -p \"require('node-addon-api').targets\"):node_addon_api"],
      'defines': [
        'NAPI_VERSION=8',
        'NODE_API_NO_EXTERNAL_BUFFERS_ALLOWED',
        # A worker thread that is terminated takes no result any more: that must not abort the process.
        'NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS',
      ],
      'sources': [
        'native/addon.cc',
        'native/addon_data.cc',
        'native/attempt.cc',
        'native/binding.cc',
        'native/checksum.cc',
        'native/environment.cc',
        'native/file_systems.cc',
        'native/guarded_copy.cc',
        'native/inspection.cc',
        'native/leftovers.cc',
        'native/lock.cc',
        'native/path.cc',
        'native/read_file.cc',
        'native/record.cc',
        'native/replace.cc',
        'native/replace_binding.cc',
        'native/waiter.cc',
        'native/worker_threads.cc',
      ],
      'cflags': ['-Wall', '-Wextra', '-Wpedantic', '-Werror', '-fvisibility=hidden'],
      'cflags_cc!': ['-std=gnu++17', '-std=gnu++20'],
      'cflags_cc': ['-std=c++17'],
      'xcode_settings': {
        'CLANG_CXX_LANGUAGE_STANDARD': 'c++17',
        'GCC_SYMBOLS_PRIVATE_EXTERN': 'YES',
        'WARNING_CFLAGS': ['-Wall', '-Wextra', '-Wpedantic', '-Werror'],
      },
      'conditions': [
        ['OS=="linux" or OS=="mac"', {
          'sources': [
            'native/posix/temporary_file.cc',
            'native/posix/contents.cc',
            'native/posix/directory.cc',
            'native/posix/lock_file.cc',
            'native/posix/process.cc',
            'native/posix/replace_file.cc',
            'native/posix/thread.cc',
          ],
        }],
        ['OS=="linux"', {
          'sources': [
            'native/linux/temporary_file.cc',
            'native/linux/directory.cc',
            'native/linux/file_system.cc',
            'native/linux/kernel_holders.cc',
            'native/linux/lock_wait.cc',
            'native/linux/process.cc',
            'native/linux/replace_file.cc',
          ],
        }],
        ['OS=="mac"', {
          'sources': [
            'native/mac/temporary_file.cc',
            'native/mac/directory.cc',
            'native/mac/file_system.cc',
            'native/mac/kernel_holders.cc',
            'native/mac/lock_wait.cc',
            'native/mac/process.cc',
            'native/mac/replace_file.cc',
          ],
        }],
        ['OS!="linux" and OS!="mac"', {
          'sources': ['native/unsupported/unsupported.cc'],
        }],
      ],
    },
  ],
}
