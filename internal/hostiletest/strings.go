// Package hostiletest makes what hostile peers would have others show.
package hostiletest

import "reflect"

// Strings sets each string in what v points to, be it in structs, slices or maps, to text.
func Strings(v any, text string) { set(reflect.ValueOf(v).Elem(), text) }

func set(v reflect.Value, text string) {
	switch v.Kind() {
	case reflect.String:
		if v.CanSet() {
			v.SetString(text)
		}
	case reflect.Pointer:
		if !v.IsNil() {
			set(v.Elem(), text)
		}
	case reflect.Struct:
		for _, field := range v.Fields() {
			set(field, text)
		}
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			set(v.Index(i), text)
		}
	case reflect.Map:
		for _, key := range v.MapKeys() {
			value := reflect.New(v.Type().Elem()).Elem()
			value.Set(v.MapIndex(key))
			set(value, text)
			v.SetMapIndex(key, value)
		}
	}
}
